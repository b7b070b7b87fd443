# Text tools: awk, sed, sort, grep, cut, tr, join, paste and what they print.
exec 2>&1
cat > data <<END
carol 30 berlin
alice 25 paris
bob 41 rome
dave 25 oslo
END
sort data; sort -k2n -k1r data; sort -u -k2,2n data
awk '{ n[$2]++; t += $2 } END { for (k in n) print k, n[k] | "sort"; close("sort"); printf "%.2f\n", t / NR }' data
awk -F' ' '$2 > 26 { print toupper($1) }' data
awk 'BEGIN { while (("echo cmd; echo two" | getline x) > 0) print "line " x; "date +%s" | getline t; print (t > 1700000000) }'
awk 'BEGIN { printf "%d %s %05.1f %x\n", 42, "s", 3.14159, 255; print substr("hello", 2, 3), index("hello", "l"), length("xyz"); print 2^10, 7 % 3, -7 / 2 }'
awk '{ print > ("out." $2) } END { close("out.25") }' data; cat out.25 out.41
sed 's/a/A/g;/bob/d' data; sed -n '/alice/,/bob/p' data; sed '2i\
inserted' data; sed -e '$!d' -e 's/\(.*\) \(.*\) \(.*\)/\3 \2 \1/' data
sed -i 's/rome/ROME/' data; grep -c . data; grep ROME data
grep -n 'a' data; grep -v 25 data; grep -i BOB data; grep -E '^(a|b)' data; grep -o '[0-9]*' data; grep -q none data || echo "status $?"
grep x missing; echo "status $?"
cut -d' ' -f1,3 data; cut -c1-3 data
tr a-z A-Z < data | tr -d 0-9 | tr -s ' '
paste data data | head -n 1; paste -s -d, data
printf '1 a\n2 b\n3 c\n' > l; printf '1 x\n3 y\n' > r; comm l r
uniq -c <<END | sort -rn
x
x
y
END
wc data; head -c 5 data; echo; tail -c 6 data; nl data | head -n 1; rev data | head -n 1; tac data | head -n 1
printf '%s|%5d|%-5s|%05.2f|%c|%%|%x\n' str 42 ab 3.14159 c 255
expr 3 + 4 \* 2; expr abc : 'a\(.*\)'; echo '2^64 * 3 / 7' | bc 2>/dev/null || echo no bc
seq 1 3 20; seq -s, 1 5; factor 360
echo hello | md5sum; echo hello | sha256sum; echo hello | sha1sum; printf abc | cksum
echo hello | base64; echo aGVsbG8K | base64 -d; printf '\001\377' | od -An -tx1; echo hi | hexdump -C | head -n 1
fold -w 10 <<END
a line that is longer than ten
END
printf 'a\tb\n' | expand; strings -n 4 <<END
abcdef
ab
END
LC_ALL=C sort <<END
b
A
a
B
END
