#!/bin/dash
# Process 1 of a guest of `deno task test vm`: runs the tests below with the executable and the kernel of this guest, tells
# of each on the console by a line that begins with "@@", and switches the machine off.

export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox HOME=/root LC_ALL=C NO_COLOR=1
busybox=/usr/bin/busybox
[ -x $busybox ] || busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /run /tmp /root /srv /var/cache /var/log /opt/busybox
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
[ -c /dev/null ] || $busybox mount -t devtmpfs devtmpfs /dev
$busybox --install -s /opt/busybox
[ -e /bin/sh ] || ln -s dash /bin/sh
# Where the kernel looks for it when it wants a module.
ln -s $busybox /sbin/modprobe
chmod 1777 /tmp
# Makes /dev/net/tun, as systemd or udev do at boot.
modprobe tun
ip link set lo up

# What passes through the tunnels: random, so that nothing can have it but by having been sent it.
head -c 4000000 /dev/urandom >/srv/file
head -c 200000 /dev/urandom >/srv/small

OUTSIDE_SERVER=192.0.2.1 OUTSIDE_CLIENT=192.0.2.2
OUTSIDE6_SERVER=2001:db8::1 OUTSIDE6_CLIENT=2001:db8::2
INSIDE_SERVER=10.66.77.1 INSIDE_CLIENT=10.66.77.2
INTERNET=203.0.113.9 INTERNET6=2001:db8:9::9
INSIDE6_SERVER=fd66:77::1 INSIDE6_CLIENT=fd66:77::2

umask 077
for end in server client; do
  wg genkey >/root/$end.key
  wg pubkey </root/$end.key >/root/$end.pub
done
SERVER_KEY=$(cat /root/server.key) SERVER_PUBLIC=$(cat /root/server.pub)
CLIENT_KEY=$(cat /root/client.key) CLIENT_PUBLIC=$(cat /root/client.pub)

# --- Support.

# begin: the namespaces `server` and `client` with a wire between them; whatever was there before is gone.
begin() {
  end
  ip netns add server && ip netns add client || return 1
  ip link add wire netns server type veth peer name wire netns client || return 1
  ip -n server address add $OUTSIDE_SERVER/24 dev wire
  ip -n client address add $OUTSIDE_CLIENT/24 dev wire
  ip -n server address add $OUTSIDE6_SERVER/64 dev wire nodad
  ip -n client address add $OUTSIDE6_CLIENT/64 dev wire nodad
  for end in server client; do
    ip -n $end link set lo up
    ip -n $end link set wire up
  done
  ip -n client route add default via $OUTSIDE_SERVER
}

# internet: an internet behind the server, which knows no way to the client.
internet() {
  ip netns add internet && ip link add uplink netns server type veth peer name wire netns internet || return 1
  ip -n server address add 198.51.100.1/24 dev uplink
  ip -n internet address add 198.51.100.9/24 dev wire
  ip -n server address add 2001:db8:8::1/64 dev uplink nodad
  ip -n internet address add 2001:db8:8::9/64 dev wire nodad
  ip -n internet address add $INTERNET/32 dev lo
  ip -n internet address add $INTERNET6/128 dev lo nodad
  ip -n internet link set lo up
  ip -n internet link set wire up
  ip -n server link set uplink up
  ip -n server route add default via 198.51.100.9
  ip -n server -6 route add default via 2001:db8:8::9
}

end() {
  for pid in $started; do kill "$pid" 2>/dev/null; done
  for pid in $started; do wait "$pid" 2>/dev/null; done
  started=
  rm -f /tmp/server.log /tmp/client.log
  for end in server client internet; do
    if [ -e /run/netns/$end ]; then ip netns delete $end; fi
  done
}
started=

# until_true SECONDS COMMAND...
until_true() {
  limit=$(($(cut -d. -f1 /proc/uptime) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$(cut -d. -f1 /proc/uptime)" -ge $limit ]; then
      echo "not within its time: $*"
      return 1
    fi
    sleep 0.2
  done
}

# start_vpn ROLE: our program with /root/ROLE.conf, until it is up.
start_vpn() {
  vpn "$1" --config "/root/$1.conf" --netns "$1" >"/tmp/$1.log" 2>&1 &
  started="$started $!"
  case $1 in
    server) word='listening on' ;;
    client) word='connected to' ;;
  esac
  until_true 600 grep -q "$word" "/tmp/$1.log" && return
  cat "/tmp/$1.log"
  return 1
}

# What all of these take: with `both` not empty, there are both families inside. `endpoint` is the server's, if not by
# IPv4.
both='' endpoint='' networks=''
inside_networks() { echo "10.66.77.0/24${both:+, fd66:77::/64}"; }
client_addresses() { echo "$INSIDE_CLIENT/32${both:+, $INSIDE6_CLIENT/128}"; }

# kernel_wireguard END PEER_PUBLIC ADDRESS ADDRESS6 ALLOWED_IPS [SETTING...]
kernel_wireguard() {
  end=$1 public=$2 address=$3 address6=$4 allowed=$5
  shift 5
  ip -n "$end" link add wg0 type wireguard &&
    ip netns exec "$end" wg set wg0 private-key "/root/$end.key" listen-port 51820 peer "$public" \
      allowed-ips "$(echo "$allowed" | tr -d ' ')" "$@" &&
    ip -n "$end" address add "$address/24" dev wg0 || return 1
  if [ -n "$both" ]; then ip -n "$end" address add "$address6/64" dev wg0 || return 1; fi
  ip -n "$end" link set wg0 up
}

kernel_server() {
  kernel_wireguard server "$CLIENT_PUBLIC" $INSIDE_SERVER $INSIDE6_SERVER "$(client_addresses)"
}

kernel_client() {
  kernel_wireguard client "$SERVER_PUBLIC" $INSIDE_CLIENT $INSIDE6_CLIENT "${networks:-$(inside_networks)}" \
    endpoint "${endpoint:-$OUTSIDE_SERVER}:51820"
}

# our_client LINE...: writes its configuration, with these lines in [Interface]; `networks` go through the tunnel.
our_client() {
  {
    printf '[Interface]\nPrivateKey = %s\nAddress = %s\nConnectTimeout = 60\n' "$CLIENT_KEY" \
      "$INSIDE_CLIENT/24${both:+, $INSIDE6_CLIENT/64}"
    for line in "$@"; do printf '%s\n' "$line"; done
    printf '[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = %s\n' "$SERVER_PUBLIC" \
      "${endpoint:-$OUTSIDE_SERVER}" "${networks:-$(inside_networks)}"
  } >/root/client.conf
}

our_server() {
  printf '[Interface]\nPrivateKey = %s\nAddress = %s\nListenPort = 51820\n[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' \
    "$SERVER_KEY" "$INSIDE_SERVER/24${both:+, $INSIDE6_SERVER/64}" "$CLIENT_PUBLIC" "$(client_addresses)" \
    >/root/server.conf
}

# pings FROM ADDRESS
pings() {
  ip netns exec "$1" busybox ping -c 3 -W 10 "$2"
}

# file_arrives FROM TO ADDRESS NAME: TO fetches a file of FROM's at ADDRESS by HTTP, and it has the same SHA-256.
file_arrives() {
  ip netns exec "$1" httpd -f -p "$3:80" -h /srv &
  server=$!
  started="$started $server"
  # A listener on port 80, in hexadecimal.
  until_true 20 ip netns exec "$1" grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6 || return 1
  got=$(ip netns exec "$2" timeout 300 wget -q -O - "http://$3/$4" | sha256sum)
  kill $server
  wait $server 2>/dev/null
  if [ "$got" = "$(sha256sum <"/srv/$4")" ]; then return; fi
  echo "another SHA-256: $4 from $1 to $2"
  return 1
}

both_ways() {
  pings client $INSIDE_SERVER && pings server $INSIDE_CLIENT &&
    file_arrives server client $INSIDE_SERVER "$1" && file_arrives client server $INSIDE_CLIENT "$1"
}

# By each family inside.
both_ways_both() {
  both_ways "$1" && pings client $INSIDE6_SERVER && pings server $INSIDE6_CLIENT &&
    file_arrives server client "[$INSIDE6_SERVER]" "$1" && file_arrives client server "[$INSIDE6_CLIENT]" "$1"
}

# shook_hands END AFTER: by what the kernel's WireGuard tells, in Unix seconds.
shook_hands() {
  [ "$(ip netns exec "$1" wg show wg0 latest-handshakes | cut -f2)" -gt "$2" ]
}

never_lost() {
  if [ "$(grep -c 'connected to' /tmp/client.log)" = 1 ]; then return; fi
  cat /tmp/client.log
  return 1
}

far_away() {
  for end in server client; do
    ip netns exec $end tc qdisc add dev wire root netem delay 350ms loss 5% || return 1
  done
}

# --- The tests.

starts() { vpn --version; }

examines_host() { vpn doctor; }

# With the runtime that the executable has unpacked.
calls_the_system() {
  cd /opt/project || return 1
  DENO_DIR=/tmp/deno "$(echo /var/cache/vpn/*/vpn)" test --allow-all --no-config --no-lock --no-npm --no-remote --no-check \
    --quiet tests/unit/ffi/system_calls.js
}

shows_demo() { vpn demo; }

client_of_kernel() {
  begin && kernel_server && our_client && vpn doctor --netns client --config /root/client.conf &&
    start_vpn client && both_ways file || return 1
  # The kernel's end loses its keys, as by a restart: nothing is said, the client has to notice.
  before=$(date +%s)
  ip -n server link delete wg0
  kernel_server
  until_true 90 pings client $INSIDE_SERVER && shook_hands server "$((before - 1))"
}

full_tunnel_of_kernel() {
  begin && kernel_server || return 1
  networks=0.0.0.0/0 our_client 'KillSwitch = on'
  ip netns exec client sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.wire.rp_filter=1
  ip -n server address add 198.51.100.1/32 dev lo
  ip netns exec server wg set wg0 peer "$CLIENT_PUBLIC" allowed-ips 0.0.0.0/0
  start_vpn client && pings client 198.51.100.1 && file_arrives server client 198.51.100.1 file
}

server_of_kernel() {
  begin && our_server && start_vpn server && kernel_client && both_ways file || return 1
  before=$(date +%s)
  sleep 1
  ip -n client link delete wg0
  kernel_client
  until_true 90 pings client $INSIDE_SERVER && shook_hands client "$before"
}

# Both families outside, each with both inside.
client_of_kernel_by_both() {
  both=yes
  for endpoint in $OUTSIDE_SERVER "[$OUTSIDE6_SERVER]"; do
    begin && kernel_server && our_client && start_vpn client && both_ways_both small || return 1
  done
}

server_of_kernel_by_both() {
  both=yes
  for endpoint in $OUTSIDE_SERVER "[$OUTSIDE6_SERVER]"; do
    begin && our_server && start_vpn server && kernel_client && both_ways_both small || return 1
  done
}

# By our NAT, which the kernel has to keep out of: it has sockets for none of the answers.
internet_of_kernel_by_both() {
  both=yes networks=0.0.0.0/0,::/0
  begin && internet && our_server && start_vpn server && kernel_client || return 1
  ip -n client route add $INTERNET/32 dev wg0
  ip -n client -6 route add $INTERNET6/128 dev wg0
  pings client $INTERNET && pings client $INTERNET6 &&
    file_arrives internet client $INTERNET small && file_arrives internet client "[$INTERNET6]" small
}

far_kernel() {
  begin && kernel_server && our_client && far_away && start_vpn client && both_ways small && never_lost
}

far_ours() {
  begin && our_server && our_client && far_away && start_vpn server && start_vpn client && both_ways small && never_lost
}

# test_case NAME FUNCTION
test_case() {
  case ",$ONLY,starts," in
    ,,* | *",$2,"*) ;;
    *) return ;;
  esac
  from=$(cut -d. -f1 /proc/uptime)
  echo "@@ begin $1"
  if "$2"; then
    echo "@@ passed $(($(cut -d. -f1 /proc/uptime) - from)) s: $1"
  else
    for log in /tmp/server.log /tmp/client.log; do
      if [ -e $log ]; then echo "-- $log"; tail -n 40 $log; fi
    done
    dmesg | tail -n 15
    echo "@@ failed $(($(cut -d. -f1 /proc/uptime) - from)) s: $1"
  fi
  end
  both='' endpoint='' networks=''
}

# --- All of them.

exec 2>&1
echo "@@ machine $(uname -r) $(uname -m)"
# Those that are named, separated by commas, and the first, which unpacks the executable.
ONLY=$(sed -n 's/.*vpn.only=\([^ ]*\).*/\1/p' /proc/cmdline)
test_case 'the executable starts' starts
test_case 'doctor finds nothing wrong with the host' examines_host
if [ "$(uname -m)" = aarch64 ] && [ -x "$(echo /var/cache/vpn/*/vpn)" ]; then
  test_case 'the tests of the system calls pass on this machine' calls_the_system
fi
test_case 'our client and the WireGuard in the kernel carry pings and files both ways, and again after it lost its keys' \
  client_of_kernel
test_case 'the WireGuard in the kernel and our server carry pings and files both ways, and again after it lost its keys' \
  server_of_kernel
test_case 'a full tunnel to the WireGuard in the kernel works with a kill switch and a strict reverse-path filter' \
  full_tunnel_of_kernel
test_case 'our client and the WireGuard in the kernel carry both families inside, by each of them outside' \
  client_of_kernel_by_both
test_case 'the WireGuard in the kernel and our server carry both families inside, by each of them outside' \
  server_of_kernel_by_both
test_case 'the WireGuard in the kernel reaches the internet by both families through our NAT' internet_of_kernel_by_both
test_case 'our client and the WireGuard in the kernel hold at 700 ms and with 5 % lost' far_kernel
test_case 'our client and our server hold at 700 ms and with 5 % lost' far_ours
test_case 'the demo passes' shows_demo
echo '@@ end'
poweroff -f
