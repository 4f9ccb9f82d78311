//! The app, played on a stage: inputs go in, and one sees what it does and shows.

mod laws;
mod laws_memory;
mod scenes;
mod stage;
mod stories_channels;
mod stories_commands;
mod stories_company;
mod stories_history;
mod stories_links;
mod stories_mentions;
mod stories_messages;
mod world;
