//! Compiles the `.proto` files of stored records and Raft messages.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/metadata.proto",
        "proto/raft.proto",
        "proto/state.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-changed=../protocol/proto");
    let descriptors = protox::compile(files, ["proto", "../protocol/proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .extern_path(".causeway.client.v1", "::causeway_protocol::client")
        .extern_path(".causeway.backbone.v1", "::causeway_protocol::backbone")
        .compile_fds(descriptors)?;
    Ok(())
}
