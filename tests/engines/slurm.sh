#!/usr/bin/env bash
# A real Slurm cluster of one node on this machine, without systemd and without accounting.
#   slurm.sh start FOLDER    starts munged, slurmctld and slurmd below a new FOLDER, and waits until the node is idle
#   slurm.sh stop FOLDER     ends its jobs and these three
# Slurm's commands find the cluster by SLURM_CONF=FOLDER/slurm.conf. Debian's packages: slurm-wlm munge. Needs root.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

free_ports() {
  python3 -c 'import socket; two = [socket.create_server(("127.0.0.1", 0)) for _ in "12"]; print(*(s.getsockname()[1] for s in two))'
}

as_munge() { setpriv --reuid=munge --regid=munge --clear-groups "$@"; }

configuration() {
  read -r controller node <<< "$(free_ports)"
  cat <<END
ClusterName=denoisebench
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=$controller
SlurmdPort=$node
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=300
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=4
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start() {
  umask 022
  mkdir "$folder" "$folder/state" "$folder/spool" "$folder/munge"
  configuration > "$folder/slurm.conf"
  chown munge:munge "$folder/munge"
  as_munge mungekey --create --keyfile="$folder/munge/key"
  as_munge munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/munged.pid" \
    --log-file="$folder/munge/munged.log" --seed-file="$folder/munge/seed"
  slurmctld -f "$folder/slurm.conf"
  slurmd -f "$folder/slurm.conf"
  for _ in $(seq 100); do
    [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ] && return
    sleep 0.1
  done
  echo "slurm.sh: the node did not become idle; see $folder/*.log" >&2
  return 1
}

stop() {  # slurmd first: it waits for the others' answers
  scancel --user=root 2>/dev/null || true
  for _ in $(seq 100); do  # the processes of a job would outlive the daemons
    [ -n "$(squeue --noheader 2>/dev/null)" ] || break
    sleep 0.1
  done
  for file in "$folder"/slurmd.pid "$folder"/slurmctld.pid "$folder"/munge/munged.pid; do
    [ -f "$file" ] || continue
    pid="$(cat "$file")"
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 20); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  done
}

folder="$(realpath -m "$2")"
export SLURM_CONF="$folder/slurm.conf"
case "$1" in start) start ;; stop) stop ;; *) echo "slurm.sh start|stop FOLDER" >&2; exit 2 ;; esac
