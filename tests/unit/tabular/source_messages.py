"""The two messages of source E, as they are written there; the second has trailing commas."""

FRAUD = """{
    "pipeline":[
        {"MLSteps" : [
            {"load_data_from_kaggle" : {
                "kaggle_dataset_name" : "mlg-ulb/creditcardfraud",
                "training_file_name" : "creditcard.csv"
            }},
            {"train_model" : {
                "feature_engineering_params" : {
                    "fix_imbalance" : true,
                    "pca" : true,
                    "trigonometry_features" :true
                },
                "modeling_params" : {
                    "estimator_list" : ["rf","lightgbm","knn"],
                    "fold" : 10,
                    "n_select"  : 2,
                    "tune" : false,
                    "ensemble" : true
                },
                "finalize" :  false
            }},
            {"register_model" : {
                
            }}
        ]}
    ],
    "experiment_config" : {
        "experiment_name" : "credit_fraud_202112",
        "model_name" : "credit_fraud",
        "main_metric" : "F1",
        "problem_type":"classification",
        "target" : "Class"
    }
}"""  # noqa: W293 - as it is written

SECOND = """{
    "pipeline":[
        {"MLSteps" : [
            {"load_data_from_file" : {
                "path" : "/app/data/creditcardfraud.zip"
            }},
            {"train_model" : {
                "feature_engineering_params" : {
                    "fix_imbalance" : false,
                    
                },
                "modeling_params" : {
                    "estimator_list" : ["dt","lr"],
                    "fold" : 2,
                    "n_select"  : 1,
                    "tune" : false,
                },
                "finalize" : false
            }}
        ]}
    ],
    "experiment_config" : {
        "experiment_name" : "test",
        "model_name" : "test",
        "main_metric" : "Kappa",
        "problem_type":"classification",
        "target" : "Class"
    }
}"""  # noqa: W293 - as it is written
