# Background jobs, waiting, signals to them, traps.
exec 2>&1
sleep 0.1 & wait $!; echo "waited $?"
(exit 7) & wait $!; echo "status $?"
# The shell tells of a death that it waits for, and not of one before.
sleep 100 & p=$!; { sleep 0.5; kill $p; } & wait $p; echo "killed $?"
sleep 100 & p=$!; { sleep 0.5; kill -9 $p; } & wait $p; echo "killed $?"
# In the background, SIGINT is ignored.
sleep 100 & p=$!; sleep 0.5; kill -0 $p && echo alive; kill -STOP $p
{ sleep 0.5; kill -INT $p; kill -TERM $p; kill -CONT $p; } & wait $p; echo "ended $?"
wait; echo "none left $?"
wait 99999; echo "no such child $?"
trap 'echo got TERM' TERM; kill -TERM $$; echo after
trap 'echo got USR1' USR1
(sleep 0.2; kill -USR1 $$) & sleep 0.5; wait; echo on
trap - TERM USR1
trap '' INT; kill -INT $$; echo ignored; trap - INT
(trap 'echo bye' EXIT; echo hello)
(trap 'echo in' EXIT; exit 3); echo "status $?"
sh -c 'trap "echo caught; exit 9" HUP; kill -HUP $$; sleep 5'; echo "status $?"
sh -c 'kill -TERM $$'; echo "by signal $?"
sh -c 'kill -SEGV $$'; echo "by signal $?"
for i in 1 2 3 4 5; do (sleep 0.0$i; echo "job $i") & wait; done
a=0; for i in 1 2 3 4 5 6 7 8; do (exit $i) & pids="$pids $!"; done
for p in $pids; do wait $p; a=$((a + $?)); done; echo "sum $a"
timeout 0.2 sleep 10; echo "timeout $?"
timeout -s KILL 0.2 sleep 10; echo "timeout $?"
timeout 5 true; echo "in time $?"
nohup sh -c 'kill -HUP $$; echo survived' 2>/dev/null
start=$(date +%s); sleep 1 & sleep 1 & wait; end=$(date +%s); test $((end - start)) -le 3 && echo parallel
setsid sh -c 'echo in a session of its own'
