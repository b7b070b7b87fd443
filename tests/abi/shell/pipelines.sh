# Pipelines, their statuses, and readers that stop early.
exec 2>&1
echo one two three | tr ' ' '\n' | sort -r | head -n 2
seq 1 10000 | awk '{ s += $1 } END { print s }'
yes | head -n 100000 | wc -l
seq 1 200000 | head -n 3
true | false; echo "status $?"
false | true; echo "status $?"
set -o pipefail
false | true; echo "pipefail $?"
set +o pipefail
printf 'a\nb\nc\n' | while read -r line; do echo "got $line"; done
i=0; printf '1\n2\n' | { while read -r n; do i=$((i + n)); done; echo "inside $i"; }; echo "outside $i"
dd if=/dev/zero bs=1024 count=1024 2>/dev/null | gzip | gunzip | wc -c
seq 1 50000 | sort -n -r | uniq | tail -n 2
(echo out; echo err >&2) 2>/dev/null
(echo out; echo err >&2) 2>&1 >/dev/null
echo $(echo nested $(echo deeper `echo deepest`))
cat < /dev/null | wc -c
seq 5 | xargs -n 2 echo pair
seq 5 | tee copy | wc -l; cat copy
echo abc | cat - copy | wc -l
seq 1 1000 | sed -n '500,502p;$p'
mkfifo pipe; (echo through the pipe > pipe) & cat pipe; wait
seq 1 100 | split -l 30 - part; for f in part*; do echo "$f $(wc -l < "$f")"; done
