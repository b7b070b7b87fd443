# Permissions as the shell meets them, without becoming anybody else.
exec 2>&1
umask 022; echo x > f; chmod 000 f; stat -c %a f; chmod 755 f; test -x f && echo x
mkdir d; chmod 1777 d; stat -c '%a %A' d
chmod 4755 f; stat -c '%a %A' f; chmod -x f; stat -c %a f
umask 077; : > p; stat -c %a p; mkdir q; stat -c %a q
test -r /etc/passwd && echo readable
grep -c '^root:' /etc/passwd
test -w / ; test -d / && echo root
test -O f && echo mine
