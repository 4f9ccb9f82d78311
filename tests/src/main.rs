//! The product, for the scenarios in this folder.

fn main() -> std::process::ExitCode {
    causeway::command::main()
}
