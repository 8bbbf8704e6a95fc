#!/usr/bin/env bash
# The unit under a real systemd: in namespaces of its own, in a Debian that debootstrap lays into target/systemd-root, with
# the demo's plane and gateway as peers. As root on Linux: `tests/deploy/systemd.sh [BINARY]`. Without what it needs, it
# says that it did not run.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1:-}" = --boot ]; then # inside the namespaces
  root=$2
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  if grep -q ' /sys/fs/cgroup cgroup2 ' /proc/self/mounts; then mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"; else
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    for controller in memory pids; do
      mkdir "$root/sys/fs/cgroup/$controller"
      mount -t cgroup -o "$controller" cgroup "$root/sys/fs/cgroup/$controller"
    done
  fi
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
  done
  touch "$root/dev/console"; mount --bind /dev/null "$root/dev/console"
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"; ln -s pts/ptmx "$root/dev/ptmx"
  for folder in dev/shm run tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
  cd "$root"; mkdir -p outside; pivot_root . outside; umount -l /outside
  # A service gets its credentials by a mount that reaches it from outside.
  mount --make-rshared /
  export container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin
  exec /lib/systemd/systemd --show-status=0 </dev/null
fi

cannot() { echo "tests/deploy/systemd.sh did not run: $1"; exit 0; }
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || cannot "it needs Linux and root"
for tool in debootstrap unshare nsenter pivot_root; do command -v "$tool" >/dev/null || cannot "there is no $tool"; done
binary=${1:-target/debug/federation-agent}
[ -x "$binary" ] || cannot "there is no $binary"
unshare --pid --mount --uts --ipc --net --cgroup --fork true 2>/dev/null || cannot "namespaces cannot be made"

root=$PWD/target/systemd-root
if [ ! -e "$root/made" ]; then
  rm -rf "$root"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,curl,iproute2,procps bookworm "$root" \
    >"$root.log" 2>&1 || cannot "debootstrap failed: $(tail -n 1 "$root.log")"
  touch "$root/made"
fi
rm -rf "$root/var/lib/private/federation-agent" "$root/var/lib/federation-agent"
: >"$root/etc/machine-id"
install -m 755 "$binary" deploy/systemd/federation-agentctl "$root/usr/local/bin/"
install -m 644 deploy/systemd/federation-agent.service "$root/etc/systemd/system/"
install -d "$root/etc/federation-agent"
(umask 077 && echo 'bearer demo-token' >"$root/etc/federation-agent/plane-token")
sed -e 's|https://apim.example.com/integration-controller|http://127.0.0.1:8072|' -e 's|^\(.*integrationId=\)$|\1demo|' \
  deploy/systemd/agent.env >"$root/etc/federation-agent/agent.env"
cat >>"$root/etc/federation-agent/agent.env" <<'SETTINGS'
AWS_ENDPOINT_URL=http://127.0.0.1:4566
AWS_ACCESS_KEY_ID=AKIADEMO
AWS_SECRET_ACCESS_KEY=any
SETTINGS

# Control groups of its own, so that this machine's systemd, if it has one, is not disturbed.
groups=()
if [ -e /sys/fs/cgroup/cgroup.procs ]; then groups=("/sys/fs/cgroup/federation-agent-$$"); else
  for folder in /sys/fs/cgroup/*/; do [ ! -e "$folder/cgroup.procs" ] || groups+=("${folder}federation-agent-$$"); done
fi
mkdir "${groups[@]}" || cannot "control groups cannot be made"
(
  # One without processors (cpuset of version 1) takes nobody, and systemd does not ask for it.
  for group in "${groups[@]}"; do { echo "$BASHPID" >"$group/cgroup.procs"; } 2>/dev/null || true; done
  exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child "$0" --boot "$root"
) >"$root.boot.log" 2>&1 &
outside=$!
clean_up() {
  kill -KILL "$outside" 2>/dev/null || true
  wait "$outside" 2>/dev/null || true
  for _ in 1 2 3 4 5; do find "${groups[@]}" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.2; done
}
trap clean_up EXIT
inside() { nsenter -t "$first" -p -m -u -i -n -C -r -w env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin TERM=dumb "$@"; }
until_true() { # what, then a command
  local what=$1; shift
  for _ in $(seq 150); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.2; done
  echo "tests/deploy/systemd.sh: $what: not within 30 s" >&2
  inside journalctl --unit=federation-agent --no-pager --lines=30 >&2 || tail -n 20 "$root.boot.log" >&2
  exit 1
}
child() { first=$(pgrep -P "$outside" -x systemd); }
until_true 'systemd comes up' child
child
until_true 'systemd answers' inside systemctl list-jobs
state() { inside systemctl show federation-agent --value --property="$1"; }
is() { [ "$(state "$1")" = "$2" ]; }
must() { if "${@:2}" >/dev/null; then echo "ok: $1"; else echo "tests/deploy/systemd.sh: not so: $1" >&2; exit 1; fi; }

inside ip link set lo up
inside systemd-run --quiet --unit=plane federation-agent demo plane
inside systemd-run --quiet --unit=gateway federation-agent demo gateway
until_true 'the peers answer' inside curl -sf http://127.0.0.1:8072/plane/state
until_true 'the gateway answers' inside curl -s http://127.0.0.1:4566/

inside systemctl start federation-agent
until_true 'connected' inside federation-agent health --ready
echo "ok: connected, under $(inside systemctl --version | head -n 1)"
inside curl -sf -X POST 'http://127.0.0.1:8072/plane/demo/ingest?wait=true' >/dev/null
subscribe='http://127.0.0.1:8072/plane/demo/subscribe?api=eu-west-1%3Ap3ts7ore01%3Aprod&plan=br0nz3&application=one'
must 'a subscription is made' inside curl -sf -X POST "$subscribe"
pid=$(state MainPID)
confined() {
  inside grep -qE '^CapBnd:[[:space:]]+0+$' "/proc/$pid/status" && inside grep -qE '^NoNewPrivs:[[:space:]]+1$' "/proc/$pid/status" \
    && inside grep -qE '^Seccomp:[[:space:]]+2$' "/proc/$pid/status" && ! inside grep -qE '^Uid:[[:space:]]+0' "/proc/$pid/status"
}
must 'no capability, no new privilege, a filter of system calls, not root' confined
grants() { inside federation-agentctl grants | grep -q '1 live'; }
must 'federation-agentctl grants shows the grant' grants
must 'federation-agentctl check finds nothing' inside federation-agentctl check
inside kill -KILL "$pid"
until_true 'started again after SIGKILL' is NRestarts 1
until_true 'connected again' inside federation-agent health --ready
must 'the journal outlives the process' grants
stopped() { inside systemctl stop federation-agent && is Result success; }
must 'a stop is clean' stopped
inside sed -i 's/=eu-west-1/=nowhere/' /etc/federation-agent/agent.env
inside systemctl start federation-agent || true
until_true 'wrong settings end it' is ActiveState failed
wrong() { is ExecMainStatus 2 && is NRestarts 0; }
must 'wrong settings are exit code 2 and not tried again' wrong
