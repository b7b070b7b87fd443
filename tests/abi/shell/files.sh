# Commands on files: find, cp, mv, ln, chmod, touch, du, stat.
exec 2>&1
mkdir -p a/b/c "a/with space" a/.hidden
echo 1 > a/one; echo 22 > a/b/two; echo 333 > a/b/c/three; : > "a/with space/empty"; echo h > a/.hidden/file
ln -s ../one a/b/link; ln -s nowhere a/dangling; ln a/one a/hard
find a | sort
find a -type f -size +0 | sort
find a -name 't*' -exec wc -c {} \; | sort
find a -type l | sort
find a -type d -empty
find a -perm 644 -type f | wc -l
find a -newer a/one -name nothing
find a -name '*e*' -print0 | sort -z | tr '\0' '|'; echo
find a -depth | tail -n 1
ls -1 a; ls -A a
ls -l a/b/c | awk 'NR > 1 { print $1, $5, $NF }'
cp -r a copy; diff -r a copy && echo same
cp -a a/b/link kept; readlink kept
mv copy/b/c copy/moved; find copy/moved
rm -rf copy; ls copy
chmod 600 a/one; stat -c '%a %s %h %F' a/one a/dangling; stat -c '%a %h %F' a/b
chmod u+x,g=r,o-rwx a/one; stat -c %a a/one
touch -d '2001-02-03 04:05:06' a/one; TZ=UTC stat -c '%Y' a/one
test a/b/two -nt a/one && echo newer
test -L a/dangling && ! test -e a/dangling && echo dangling
test a/one -ef a/hard && echo "the same file"
cmp a/one a/hard && echo equal
cmp a/one a/b/two; diff a/one a/b/two
basename /x/y.c .c; dirname /x/y.c; realpath a/b/../one | sed 's/.*\///'
mkdir a; rmdir a; rm a; rm -f none && echo fine
t=$(mktemp -d tmpXXXXXX); test -d $t && stat -c %a $t && rmdir $t
dd if=/dev/zero of=sparse bs=1 count=1 seek=1000000 2>/dev/null; stat -c %s sparse; wc -c < sparse
truncate -s 10 sparse; od -c sparse | head -n 2
cd a/b && pwd | sed 's/.*\/a\//a\//'; cd ../..
rm -r a; ls
