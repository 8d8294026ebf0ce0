# FOLDER KILOBYTES COMMAND...: runs the command with a disk of that size in FOLDER, then names what is left there.
folder=$1 kilobytes=$2
shift 2
mount -t tmpfs -o "size=${kilobytes}k" tmpfs "$folder" || exit 77
"$@"
status=$?
find "$folder" -mindepth 1 | sed "s/^/left: /"
exit $status
