# The smallest programs for macOS, as zig 0.17.1 links them; arm64 is signed, x86-64 is not.
echo 'int main(void) { return 0; }' > main.c
for arch in aarch64 x86_64; do
    zig cc -target $arch-macos -Os -s main.c -o $arch
done
