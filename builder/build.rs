//! Tells the tool which target it is built for: the default of `build --target`.

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=ENCODERFILE_HOST_TARGET={target}");
}
