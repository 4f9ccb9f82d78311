//! The one binary, `causeway`: a world for development, the nodes themselves,
//! and the tools around them.

mod actors;
pub mod admin;
mod bench;
pub mod chaos;
pub mod chat;
pub mod chat_command;
pub mod command;
pub mod config;
mod drain;
mod ledger;
pub mod node;
pub mod operator;
mod output;
mod quantiles;
pub mod replay;
mod signals;
mod status;
pub mod world;
