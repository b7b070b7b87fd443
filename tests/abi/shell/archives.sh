# Archives and compression: what goes in comes out.
exec 2>&1
mkdir -p tree/sub; seq 1 20000 > tree/numbers; echo text > tree/sub/text; ln -s sub/text tree/link; chmod 640 tree/numbers
head -c 300000 /dev/zero > tree/zeros
tar cf plain.tar tree; tar tf plain.tar | sort
mkdir out; tar xf plain.tar -C out; diff -r tree out/tree && echo same
readlink out/tree/link; stat -c %a out/tree/numbers
tar czf packed.tgz tree; tar tzf packed.tgz | wc -l; gunzip -t packed.tgz && echo good
tar cf - tree | (mkdir piped; cd piped; tar xf -); diff -r tree piped/tree && echo same
tar xf plain.tar -O tree/sub/text
tar tf missing.tar; echo "status $?"
gzip -k tree/numbers; gzip -dc tree/numbers.gz | cmp - tree/numbers && echo same; zcat tree/numbers.gz | tail -n 1
bzip2 -k tree/numbers; bunzip2 -c tree/numbers.bz2 | cmp - tree/numbers && echo same
head -c 1000 tree/numbers.gz > cut.gz; gunzip cut.gz; echo "status $?"
echo not compressed > bad.gz; gunzip -c bad.gz; echo "status $?"
find tree -type f | sort | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null | sort
md5sum tree/numbers tree/zeros > sums; md5sum -c sums
sha256sum < plain.tar | wc -c
