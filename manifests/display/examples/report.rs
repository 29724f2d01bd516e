//! Writes a sample report, to look at: `cargo run -p ferry-display --example report -- report.html [IMAGES]`.
//!
//! With a number, a report of so many images.

mod sample;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name the file to write: report.html")?;
    let report = match arguments.next() {
        Some(images) => sample::large(images.parse()?),
        None => sample::report(),
    };
    std::fs::write(path, ferry_display::report_html(&report))?;
    Ok(())
}
