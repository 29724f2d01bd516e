//! Files of a bundle in bkrepo: the whole program against the stand-in, in the manners of the releases that BlueKing 7.1 and 7.2
//! bring. What the server counts is what is believed.

mod access;
mod content;
mod faults;
mod ground;
mod large;
mod repositories;
mod waiting;
