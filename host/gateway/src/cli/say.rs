//! What commands say. Whoever reads may stop to, as in `tollgate schema | head`: that is no
//! mistake, and the command does what else it has to.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Says it on standard output, as it is.
///
/// # Errors
/// It cannot be written, and not because nobody reads it.
pub(crate) fn out(text: impl Display) -> io::Result<()> {
    to(&mut io::stdout().lock(), text)
}

/// Says it on standard error, as it is. There is nowhere to say that this failed.
pub(crate) fn err(text: impl Display) {
    let _ = to(&mut io::stderr().lock(), text);
}

fn to(writer: &mut impl Write, text: impl Display) -> io::Result<()> {
    match write!(writer, "{text}").and_then(|()| writer.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        assert!(to(&mut Fails(io::ErrorKind::BrokenPipe), "text").is_ok());
        assert!(to(&mut Fails(io::ErrorKind::StorageFull), "text").is_err());
    }
}
