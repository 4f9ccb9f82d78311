//! The binary.

fn main() -> std::process::ExitCode {
    causeway::command::main()
}
