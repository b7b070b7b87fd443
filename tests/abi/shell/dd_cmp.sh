# dd, cmp and the like on larger files.
exec 2>&1
seq 1 300000 > big; wc -c < big
dd if=big of=copy bs=64k 2>/dev/null; cmp big copy && echo same
dd if=big of=part bs=1000 skip=5 count=3 2>/dev/null; wc -c < part; head -n 1 part
dd if=part of=copy bs=10 seek=2 conv=notrunc 2>/dev/null; cmp big copy
dd if=/dev/zero of=file bs=1M count=8 2>/dev/null; stat -c %s file
dd if=big bs=7 count=100000 2>/dev/null | md5sum; md5sum < big | wc -c
dd if=/dev/urandom bs=100 count=10 2>/dev/null | wc -c
dd if=missing of=x 2>&1 | head -n 1
dd if=big of=/dev/full bs=1k count=1 2>&1 | head -n 1
cp big again; echo x >> again; cmp big again
cmp -s big again; echo "status $?"
tail -n 1 again; tail -c +1888890 big | head -n 1
sort -r big | head -n 1; sort -n big | tail -n 1; sort -R big | wc -l
od -A d -t u1 big | tail -n 1
split -b 500000 big piece.; cat piece.* | cmp - big && echo same; ls piece.*
xxd big 2>/dev/null | head -n 1; sum big; cksum big
tr '\n' ' ' < big | wc -w
sync; rm -f copy file again piece.*; ls
