//! `ferry-builder check`: what charts and other files name, found and compared with what is carried. Once with a real helm,
//! once without one.

mod carried;
mod charts;
mod ground;
mod holes;
mod other_files;
