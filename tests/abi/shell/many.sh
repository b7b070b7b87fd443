# Many processes and files, one after another and at once.
exec 2>&1
i=0; while [ $i -lt 200 ]; do /proc/self/exe true 2>/dev/null; i=$((i + 1)); done; echo $i
i=0; while [ $i -lt 300 ]; do echo $i > f$i; i=$((i + 1)); done; ls | wc -l; cat f* | sort -n | tail -n 1
for i in 1 2 3 4 5 6 7 8; do (for j in $(seq 1 25); do echo "$i $j" | cat; done) & done | sort -n -k1 -k2 | md5sum
wait
deep=.; for i in $(seq 1 60); do deep=$deep/d; done; mkdir -p $deep; echo bottom > $deep/file; find . -name file -exec cat {} \;
rm -rf d f*; ls | wc -l
fib() { if [ $1 -lt 2 ]; then echo $1; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }; fib 9
