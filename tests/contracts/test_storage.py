from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from infra.errors import ArtifactNotFoundError, ServiceUnavailableError, UnsafeKeyError
from infra.settings import LocalStorage, S3Storage
from infra.storage import open_store
from infra.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from infra.storage.protocol import ArtifactStore


class ArtifactStoreContract:
    """Subclass, override `store`, and every promise below is tested."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        raise NotImplementedError

    def test_reads_back_what_was_written(self, store: ArtifactStore) -> None:
        store.write("a/b.bin", b"content")

        assert store.read("a/b.bin") == b"content"

    @pytest.mark.parametrize("content", [b"", b"\0\xff" * 10, b"x" * 6_000_000], ids=len)
    def test_any_bytes_are_kept(self, store: ArtifactStore, content: bytes) -> None:
        store.write("bytes", content)

        assert store.read("bytes") == content

    def test_a_moved_file_is_kept_and_gone(self, store: ArtifactStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"file" * 2_000_000)
        store.move_file("file", source)

        assert store.read("file") == b"file" * 2_000_000
        assert not source.exists()

    def test_what_was_written_can_be_opened_as_a_file(self, store: ArtifactStore) -> None:
        store.write("a/b.bin", b"content")

        with store.opened("a/b.bin") as path:
            assert path.read_bytes() == b"content"

    def test_what_is_missing_cannot_be_opened(self, store: ArtifactStore) -> None:
        with pytest.raises(ArtifactNotFoundError), store.opened("nothing"):
            pass

    def test_a_write_replaces(self, store: ArtifactStore) -> None:
        store.write("a", b"old")
        store.write("a", b"new")

        assert store.read("a") == b"new"

    def test_what_is_removed_is_gone(self, store: ArtifactStore) -> None:
        store.write("a", b"content")
        store.remove("a")

        assert not store.exists("a")
        with pytest.raises(ArtifactNotFoundError):
            store.read("a")

    def test_what_was_never_there_is_not_found(self, store: ArtifactStore) -> None:
        assert not store.exists("nothing")
        for operation in (store.read, store.remove):
            with pytest.raises(ArtifactNotFoundError, match="'nothing'"):
                operation("nothing")

    def test_a_folder_is_no_artifact(self, store: ArtifactStore) -> None:
        store.write("folder/a", b"")

        assert not store.exists("folder")
        with pytest.raises(ArtifactNotFoundError):
            store.read("folder")

    def test_keys_are_listed_by_prefix_in_order(self, store: ArtifactStore) -> None:
        for key in ("b/2", "b/1", "a", "c/d/e"):
            store.write(key, b"")

        assert list(store.keys("b/")) == ["b/1", "b/2"]
        assert list(store.keys()) == ["a", "b/1", "b/2", "c/d/e"]

    def test_a_reader_sees_one_write_or_the_other(self, store: ArtifactStore) -> None:
        contents = [bytes([number]) * 200_000 for number in range(4)]
        store.write("contested", contents[0])

        with ThreadPoolExecutor(4) as pool:
            writes = [pool.submit(store.write, "contested", each) for each in contents * 3]
            seen = [store.read("contested") for _ in range(10)]
        for write in writes:
            write.result()

        assert set(seen) <= set(contents)

    @pytest.mark.parametrize(
        "key",
        ["../outside", "/etc/passwd", "..", "a/../../b", "", ".", "a//b", "a/", "a\\b", "a\n"],
    )
    def test_no_key_leaves_the_store(self, store: ArtifactStore, key: str) -> None:
        for operation in (
            store.read,
            store.remove,
            store.exists,
            partial(store.write, content=b""),
        ):
            with pytest.raises(UnsafeKeyError):
                operation(key)


class TestLocalStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return open_store(LocalStorage(root=tmp_path / "store"))

    def test_a_link_does_not_lead_outside(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")

        with pytest.raises(UnsafeKeyError):
            LocalStore(tmp_path / "store").read("link")

    def test_an_interrupted_write_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LocalStore(tmp_path)
        store.write("a", b"old")
        monkeypatch.setattr("pathlib.Path.replace", _fails)

        with pytest.raises(OSError, match="disk is full"):
            store.write("a", b"new")

        assert store.read("a") == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def _fails(*_arguments: object) -> None:
    raise OSError("the disk is full")


@pytest.mark.services
class TestS3Store(ArtifactStoreContract):
    @pytest.fixture
    def store(self, s3: S3Storage) -> ArtifactStore:
        return open_store(s3)

    def test_reading_elsewhere_makes_no_bucket(self, s3: S3Storage) -> None:
        absent = s3.model_copy(update={"bucket": f"{s3.bucket}-typo", "create": False})

        for _ in range(2):
            with pytest.raises(ArtifactNotFoundError):
                open_store(absent)

    def test_a_wrong_secret_is_refused(self, s3: S3Storage) -> None:
        with pytest.raises(
            ServiceUnavailableError, match=r"SignatureDoesNotMatch|AccessDenied|403"
        ):
            open_store(s3.model_copy(update={"secret_key": s3.access_key, "bucket": "other"}))

    def test_a_store_that_is_away_is_transient(self, s3: S3Storage) -> None:
        away = s3.model_copy(update={"endpoint": "127.0.0.1:1", "timeout_seconds": 1.0})

        with pytest.raises(ServiceUnavailableError):
            open_store(away)


@pytest.mark.services
class TestS3StoreInAFolder(ArtifactStoreContract):
    @pytest.fixture
    def store(self, s3: S3Storage) -> ArtifactStore:
        return open_store(s3.model_copy(update={"prefix": "team/millrace/"}))

    def test_folders_of_a_bucket_are_apart(self, s3: S3Storage, store: ArtifactStore) -> None:
        store.write("a", b"content")

        assert not open_store(s3).exists("a")
        assert list(open_store(s3).keys()) == ["team/millrace/a"]
