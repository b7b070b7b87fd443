# The shell's language: expansion, functions, arithmetic, control flow, options.
exec 2>&1
f() { local x=$1; echo "f $x $#"; return 3; }
f a b; echo "status $?"
x=hello; echo "${x#he} ${x%lo} ${x:1:3} ${#x} ${none:-default} ${x:+set} ${x/l/L} ${x//l/L}"
: "${assigned:=value}"; echo $assigned
(: "${none:?is missing}"); echo "status $?"
echo $((7 / 2)) $((7 % 3)) $((1 << 10)) $((0x1f)) $((5 > 3 && 2 > 3)) $((2 ** 10))
i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done
for w in a "b c" d; do echo "<$w>"; done; set -- x "y z"; for w; do echo "[$w]"; done; shift; echo "$# $1"
case abc in a*) echo star;; esac; case x in [a-f]) echo no;; [!a-f]) echo yes;; esac
until false; do break; done; if false; then :; elif true; then echo elif; fi
touch g1 g2 g.txt; echo g? g*.txt [g]1 none*; set -f; echo g*; set +f
a='*'; echo "$a" '$a' \$a
IFS=:; set -- $(echo 1:2:3); echo $#; unset IFS
echo a{b,c}d; printf '%s\n' "$@" | wc -l
eval 'echo evaluated'; (. ./none) 2>/dev/null || echo "status $?"
echo 'echo sourced $1' > lib; . ./lib arg
sh -c 'echo $0 $1' name arg; sh -e -c 'false; echo no'; echo "status $?"
sh -u -c 'echo $undefined'; echo "status $?"
sh -c 'exit 300'; echo "status $?"
nonexistent_command; echo "status $?"
./lib; echo "status $?"; chmod +x lib; ./lib x
printf '#!%s\necho interpreted $1\n' "$(command -v sh)" > script; chmod +x script; ./script y | sed 's/y/z/'
/; echo "status $?"
type f | head -n 1; command -v echo; unset -f f; f; echo "status $?"
readonly r=1; (r=2); echo "status $?"
export E=exported; sh -c 'echo $E'; E=once sh -c 'echo $E'; echo $E; env -i sh -c 'echo "[$E]"'
x=$(printf 'a\n\n\n'); echo "[$x]"; echo "$(echo 'quoted "inside"')"
cd /; cd - > /dev/null; cd none; echo "status $?"
ulimit -n 64; ulimit -n; umask 027; umask
test 1 -eq 1 -a 2 -gt 1 && [ -z "" ] && [ "a" != "b" ] && echo tests
echo abc | read -r y; echo "[$y]"; read -r y <<END
from here
END
echo "[$y]"; getopts ab: o -a -b val; echo $o
let z=3+4; echo $z; true && false || echo or; ! true; echo $?
