//! The header of a program: which machine it is for, and what it needs to be loaded.

use ferry_model::Platform;

/// What the header of a 64-bit program says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    machine: u16,
    /// The program that loads it, where it is not complete in itself.
    loader: Option<String>,
}

const X86_64: u16 = 62;
const AARCH64: u16 = 183;
/// `PT_INTERP`.
const INTERPRETER: u32 = 3;

impl Header {
    /// Reads it; `None` for what is no 64-bit little-endian ELF file.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let machine = u16_at(bytes, 18)?;
        let start = usize::try_from(u64_at(bytes, 32)?).ok()?;
        let (size, count) = (usize::from(u16_at(bytes, 54)?), usize::from(u16_at(bytes, 56)?));
        let mut loader = None;
        for number in 0..count {
            let header = bytes.get(start.checked_add(number * size)?..)?;
            if u32_at(header, 0)? == INTERPRETER {
                let offset = usize::try_from(u64_at(header, 8)?).ok()?;
                let length = usize::try_from(u64_at(header, 32)?).ok()?;
                let text = bytes.get(offset..offset.checked_add(length)?)?;
                loader = Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
            }
        }
        Some(Self { machine, loader })
    }

    /// Why the program does not run on a machine of this platform, which has the files that `exists` knows.
    pub(super) fn misfit(&self, platform: &Platform, exists: impl Fn(&str) -> bool) -> Option<String> {
        let wanted = match platform.architecture.as_str() {
            "amd64" => X86_64,
            "arm64" => AARCH64,
            _ => self.machine,
        };
        if self.machine != wanted {
            return Some(format!("it is not for {platform}"));
        }
        let loader = self.loader.as_deref().filter(|loader| !exists(loader))?;
        Some(format!("it needs {loader}, which this machine does not have"))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The headers of a program, without the program.
    pub(in crate::images) fn program(machine: u16, loader: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&u16::from(loader.is_some()).to_le_bytes());
        if let Some(loader) = loader {
            let mut header = [0; 56];
            header[..4].copy_from_slice(&INTERPRETER.to_le_bytes());
            header[8..16].copy_from_slice(&120_u64.to_le_bytes());
            header[32..40].copy_from_slice(&(loader.len() as u64 + 1).to_le_bytes());
            bytes.extend(header);
            bytes.extend(loader.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn a_program_must_fit_the_machine() {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let misfit = |machine, loader, is_there| {
            Header::parse(&program(machine, loader)).unwrap().misfit(&platform, |_| is_there)
        };
        assert_eq!(misfit(X86_64, None, false), None);
        assert_eq!(misfit(X86_64, Some("/lib64/ld-linux-x86-64.so.2"), true), None);
        let musl = misfit(X86_64, Some("/lib/ld-musl-x86_64.so.1"), false).unwrap();
        assert!(musl.contains("/lib/ld-musl-x86_64.so.1,"), "{musl}");
        assert!(misfit(AARCH64, None, true).unwrap().contains("linux/amd64"));
    }

    #[test]
    fn what_is_cut_off_or_no_program_is_none() {
        assert_eq!(Header::parse(b"#!/bin/sh\n"), None);
        let whole = program(X86_64, Some("/lib/ld.so"));
        for length in 0..whole.len() {
            assert_eq!(Header::parse(&whole[..length]), None, "{length}");
        }
        let mut far = whole;
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Header::parse(&far), None);
    }

    #[test]
    fn real_programs_are_read() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let header = Header::parse(&own).unwrap();
        assert_eq!(
            header.misfit(&crate::export::host_platform(), |path| std::path::Path::new(path).exists()),
            None
        );
        assert!(header.loader.is_some());
    }
}
