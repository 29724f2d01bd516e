//! SaaS, Redis entries and agent plug-ins through BlueKing's PaaS: the whole program against a cluster whose pods run PaaS's commands.

mod ground;
mod install;
mod packages;
mod redis;
mod versions;
