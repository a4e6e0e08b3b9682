//! Compiles the contract without protoc: protox parses the files, tonic's generator writes the Rust.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked when it runs: a script that was built in another checkout would look there.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo says where the crate is")?;
    let root = Path::new(&folder);
    let mut files = Vec::new();
    collect(&root.join("portcullis"), &mut files)?;
    files.sort();
    println!("cargo:rerun-if-changed=portcullis");

    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("portcullis.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
