#!/bin/sh
# What `cargo xtask fuzz` has cargo call for each crate of this workspace, with rustc's
# command line: SanitizerCoverage, by which libFuzzer sees where an input leads, and the
# checks of arithmetic that a release has not. Dependencies stay those of any release build.
case " $* " in
*" --crate-name build_script_build "* | *" --crate-type proc-macro "*) exec "$@" ;;
*" --crate-name "*)
    exec "$@" \
        -C passes=sancov-module \
        -C llvm-args=-sanitizer-coverage-level=4 \
        -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
        -C llvm-args=-sanitizer-coverage-pc-table \
        -C llvm-args=-sanitizer-coverage-trace-compares \
        -C codegen-units=1 -C strip=none \
        -C debug-assertions=yes -C overflow-checks=yes
    ;;
*) exec "$@" ;;
esac
