//! Compiles the two small protocols that only the benchmark speaks, and notes which compiler made the program.

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked when it runs: a script that was built in another checkout would look there.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo says where the crate is")?;
    let root = Path::new(&folder).join("src/bench/proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-env-changed=RUSTC");
    let descriptors = protox::compile(["etcd.proto", "echo.proto"], [root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;

    let compiler = std::env::var_os("RUSTC").ok_or("cargo says which compiler it uses")?;
    let version = Command::new(compiler).arg("--version").output()?;
    println!(
        "cargo:rustc-env=BUILT_WITH={}",
        String::from_utf8(version.stdout)?.trim()
    );
    Ok(())
}
