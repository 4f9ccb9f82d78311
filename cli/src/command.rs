//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{admin, bench, chaos, chat_command, node, replay, world};

/// A messaging platform that is global from the first byte
#[derive(Debug, Parser)]
#[command(name = "causeway", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole world on this machine
    Dev(world::dev::DevArgs),
    /// Run a core node
    Core(node::NodeArgs),
    /// Run an edge node
    Edge(node::NodeArgs),
    /// Operate a world
    Admin(admin::AdminArgs),
    /// Talk, in the terminal
    Chat(chat_command::ChatArgs),
    /// Replay a Slack export through real clients, and account for every message
    Replay(replay::ReplayArgs),
    /// Cause faults
    Chaos(chaos::ChaosArgs),
    /// Measure what this machine can do
    Bench(bench::BenchArgs),
}

/// Runs the command of this process's arguments.
#[tokio::main]
pub async fn main() -> ExitCode {
    let command = Cli::parse().command;
    // 1 says that a run has found something.
    let failed = match &command {
        Command::Chaos(_) => ExitCode::from(chaos::NOT_RUN),
        _ => ExitCode::FAILURE,
    };
    let result = match command {
        Command::Dev(args) => world::dev::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Core(args) => node::core(args).await.map(|()| ExitCode::SUCCESS),
        Command::Edge(args) => node::edge(args).await.map(|()| ExitCode::SUCCESS),
        Command::Admin(args) => admin::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Chat(args) => chat_command::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Replay(args) => replay::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::Bench(args) => bench::run(args).await.map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            failed
        }
    }
}

/// The error and its causes, for people; a cause that has just been told is left out.
#[allow(clippy::print_stderr)]
fn complain(error: &anyhow::Error) {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.ends_with(&cause) {
            let link = if told.is_empty() { "" } else { ": " };
            told = format!("{told}{link}{cause}");
        }
    }
    eprintln!("error: {told}");
}
