//! `ferry-installer`: puts a bundle into a datacenter without internet.

fn main() -> std::process::ExitCode {
    ferry_installer::commands::main()
}
