#!/usr/bin/env bash
# A real S3 server on loopback for tests: one Ceph monitor, one storage daemon in memory and
# the RADOS gateway, from Debian's packages `radosgw ceph-mon ceph-osd`.
#
#   s3.sh start FOLDER PORT   keys: millrace / millrace-secret; PORT to PORT+40 are used
#   s3.sh stop FOLDER
set -euo pipefail

ACCESS=millrace SECRET=millrace-secret

start() {
  local folder=$1 port=$2 id
  mkdir -p "$folder"/{mon,osd,log,run}
  export CEPH_CONF=$folder/ceph.conf CEPH_ARGS=--no-mon-config
  id=$(cat /proc/sys/kernel/random/uuid)
  cat > "$CEPH_CONF" <<CONF
[global]
fsid = $id
mon host = [v2:127.0.0.1:$((port + 1))/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = $((port + 10))
ms bind port max = $((port + 40))
ms bind msgr1 = false
auth allow insecure global id reclaim = false
keyring = $folder/keyring
run dir = $folder/run
admin socket = $folder/run/\$name.asok
log file = $folder/log/\$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
paxos propose interval = 0.01
paxos min wait = 0.01
[mon.a]
mon data = $folder/mon
[osd.0]
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush update on start = false
osd class load list = *
osd class default list = *
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
CONF
  ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' > /dev/null
  ceph-authtool "$folder/keyring" --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' > /dev/null
  ceph-authtool "$folder/keyring" --gen-key -n client.rgw \
    --cap mon 'allow rwx' --cap osd 'allow rwx' > /dev/null
  ceph-authtool "$folder/keyring" --gen-key -n osd.0 \
    --cap mon 'allow profile osd' --cap osd 'allow *' > /dev/null
  monmaptool --create --clobber --fsid "$id" --addv a "[v2:127.0.0.1:$((port + 1))]" \
    "$folder/monmap" > /dev/null
  ceph-mon -i a --mkfs --monmap "$folder/monmap" --keyring "$folder/keyring"
  ceph-mon -i a --pid-file "$folder/mon.pid"
  ceph osd new "$id" > /dev/null
  ceph auth import -i "$folder/keyring" 2> /dev/null
  ceph-osd -i 0 --mkfs --osd-uuid "$id" 2> /dev/null
  ceph osd crush add osd.0 1 root=default host=localhost > /dev/null 2>&1
  ceph-osd -i 0 --pid-file "$folder/osd.pid" 2> /dev/null
  radosgw-admin user create --uid=millrace --display-name=millrace \
    --access-key=$ACCESS --secret-key=$SECRET > /dev/null 2>&1
  radosgw -n client.rgw --pid-file "$folder/rgw.pid"
  for _ in $(seq 150); do
    if curl -sf -o /dev/null "http://127.0.0.1:$port/"; then return; fi
    sleep 0.2
  done
  echo "the S3 server did not answer; its logs are in $folder/log" >&2
  return 1
}

stop() {
  local name pid
  for name in rgw osd mon; do
    [ -f "$1/$name.pid" ] || continue
    pid=$(cat "$1/$name.pid")
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2> /dev/null || true
    rm -f "$1/$name.pid"
  done
}

"$@"
