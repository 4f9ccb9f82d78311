//! The one binary, `causeway`: a world for development, the nodes themselves,
//! and the tools around them.

pub mod admin;
pub mod chaos;
pub mod chat;
pub mod chat_command;
pub mod command;
pub mod config;
pub mod node;
pub mod operator;
mod output;
pub mod replay;
mod status;
pub mod world;
