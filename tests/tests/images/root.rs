//! An image that runs: unpacked, and started as its configuration says, with nothing but its root
//! and a loopback interface.

use crate::{MODEL, Tools, in_folder};
use anyhow::ensure;
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::env;
use std::path::Path;

/// In namespaces of its own, as the image's user where that can be; the last line says that the
/// server stopped in its own time.
const SCRIPT: &str = r#"
set -eu
root=$1; shift
ip link set lo up
start() { chroot $AS "$root" "$@"; }
start /encoderfile --payload /model.ef infer "A cat sits on the mat."
if start /encoderfile health; then echo "ready before it was started"; exit 1; fi
# Not by the function, which would be a shell of its own.
chroot $AS "$root" "$@" &
server=$!
tries=0
until start /encoderfile health; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1
    sleep 0.1
done
kill -TERM $server
wait $server
echo stopped
"#;

pub(crate) fn run(workbench: &Workbench, tools: &Tools, base: &Path) -> anyhow::Result<()> {
    let base = base.display().to_string();
    let options = ["--target", "oci", "--base", &base];
    workbench.build_folder(&fixture::folder(MODEL), &options, "m.tar")?;
    let config = tools.unpack(workbench, "m.tar", "bundle")?;
    let words = |key: &str| -> Vec<String> {
        let words = config["process"][key].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let is_root = process::succeed(&mut in_folder(workbench, "id", &["-u"]))?.text()? == "0\n";
    let (user, as_user): (&[&str], _) = match is_root {
        true => (&[], "--userspec=65532:65532"),
        false => (&["--user", "--map-root-user"], ""),
    };
    let mut command = in_folder(workbench, "unshare", user);
    command.args(["--net", "--mount", "--pid", "--fork", "sh", "-c", SCRIPT]);
    command.arg("sh").arg(workbench.path("bundle/rootfs"));
    command.args(words("args")).env_clear();
    for variable in words("env") {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    // The script's own, which the server does not read.
    command.env("AS", as_user);
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    let finished = process::succeed(&mut command)?;
    let printed = finished.text()?;
    ensure!(printed.contains(r#""embedding":["#), "{printed}");
    ensure!(
        printed.contains("ready: http://127.0.0.1:8080/readyz"),
        "{printed}"
    );
    ensure!(printed.ends_with("stopped\n"), "{printed}");
    Ok(())
}
