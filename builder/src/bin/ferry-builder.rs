//! `ferry-builder`: packs everything that a site without internet needs into one verified bundle.

fn main() -> std::process::ExitCode {
    ferry_builder::commands::main()
}
