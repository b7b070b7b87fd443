# Redirections, here-documents, and descriptors that a script opens itself.
exec 2>&1
echo one > file; echo two >> file; cat < file
cat <<END
expanded $((1 + 2)) `echo x` "quoted"
END
cat <<'END'
not expanded $((1 + 2)) `echo x`
END
cat <<-END
	indented
		twice
	END
exec 3> log; echo to three >&3; exec 3>&-; cat log
exec 4< file; read -r a <&4; read -r b <&4; echo "$b $a"; exec 4<&-
echo closed >&3 || echo "status $?"
exec 5<> both; echo written >&5; exec 5>&-; cat both
{ echo out; echo err >&2; } > all 2>&1; sort all
ls /does/not/exist > /dev/null || echo "status $?"
echo x > /does/not/exist || echo "status $?"
set -C; echo a > file || echo clobber; echo a >| file; set +C; cat file
: > empty; test -s empty || echo empty
cat file - < log
for i in 1 2 3; do echo $i; done > loop; wc -l < loop
while read -r x; do echo "line $x"; done < loop
echo data | { read -r v; echo "v=$v"; }
cat /dev/fd/0 < log
echo via > /dev/fd/1
echo via > /dev/stdout
cat <<A <<B
first
A
second
B
