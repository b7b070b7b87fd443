# What the shell sees of processes.
exec 2>&1
test -d /proc/$$ && echo "proc is there"
sh -c 'echo $PPID' | grep -q "^$$\$" && echo parent
sleep 5 & p=$!; ps -o pid,args 2>/dev/null | grep -c "[s]leep 5" | sed 's/[1-9].*/seen/'; kill $p; wait $p 2>/dev/null
readlink /proc/self/cwd | sed 's/.*\///' | grep -q . && echo cwd
ls /proc/self/fd | head -n 3 | tr '\n' ' '; echo
(cd / && readlink /proc/self/cwd)
cat /proc/sys/kernel/ostype; uname -s -m
for i in $(seq 1 60); do (exit $i) & done; wait; echo "all done"
pidof nothing || echo "status $?"
n=0; for i in $(seq 1 40); do n=$((n + $(echo $i))); done; echo $n
xargs -P 4 -n 1 sh -c 'exit 0' < /dev/null; echo "status $?"
seq 1 20 | xargs -P 4 -n 1 sh -c 'echo $0' | sort -n | tail -n 1
seq 1 3 | xargs -I X echo "<X>"
echo fail | xargs false; echo "status $?"
time true 2>&1 | grep -c real
# The shell tells of a death that it waits for, and not of one before.
watch_dog() { sleep 30 & w=$!; { sleep 0.5; kill $w; } & wait $w; }; watch_dog; echo "status $?"
sleep 30 & w=$!; kill $w; sleep 0.5; wait $w; echo "status $?"
date -u -d @0 +%Y-%m-%d; sleep 0.01; usleep 1000; echo slept
env | grep -c '^PATH='
which sh > /dev/null && echo which
