//! A first look at scalars: most of them name nothing, and are seen once.

/// What a first look at a scalar's bytes tells.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) has_slash: bool,
    /// A colon or an `@` behind a slash.
    pub(super) has_mark: bool,
    pub(super) has_variable: bool,
    /// Several words, or lines.
    pub(super) has_space: bool,
    pub(super) has_image: bool,
}

impl Look {
    pub(super) fn at(raw: &str) -> Self {
        let bytes = raw.as_bytes();
        let mut look = Self::default();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'/' => look.has_slash = true,
                b':' | b'@' => look.has_mark |= look.has_slash,
                b'$' | b'{' => look.has_variable = true,
                b' ' | b'\n' | b'\\' => look.has_space = true,
                b'm' | b'M'
                    if bytes[at..].get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"mage")) =>
                {
                    look.has_image = true;
                }
                b'r' if bytes[at..].starts_with(b"repository") => look.has_image = true,
                _ => {}
            }
        }
        look
    }

    /// Whether it may be a reference, or a text that names one.
    pub(super) fn is_telling(&self) -> bool {
        let may_be_one = self.has_slash && (self.has_mark || self.has_variable);
        may_be_one || (self.has_space && self.has_image)
    }
}
