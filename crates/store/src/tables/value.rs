//! A value in a row, whichever backend it came from, and its bytes: for hashes, and for marks of how far a move has come.

use super::Kind;

/// The values of a row, in the order of the table's columns.
pub(crate) type Row = Vec<Value>;

/// A value. It has no `Debug`: it may be a number or a text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// Whether a column of this kind can hold it in both backends.
    pub(super) fn fits(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Null, _) | (Self::Integer(_), Kind::Big) | (Self::Bytes(_), Kind::Bytes) => true,
            (Self::Integer(number), Kind::Int) => i32::try_from(*number).is_ok(),
            (Self::Integer(number), Kind::Small) => i16::try_from(*number).is_ok(),
            // PostgreSQL's texts end at this character.
            (Self::Text(text), Kind::Text) => !text.contains('\0'),
            (Self::Bytes(bytes), Kind::Id) => bytes.len() == 16,
            _ => false,
        }
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Integer(_) => 0,
                Self::Text(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
            }
    }

    /// Its bytes, such that no two rows of as many values have the same.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Null => to.push(0),
            Self::Integer(number) => {
                to.push(1);
                to.extend(number.to_be_bytes());
            }
            Self::Text(text) => write_bytes(2, text.as_bytes(), to),
            Self::Bytes(bytes) => write_bytes(3, bytes, to),
        }
    }

    /// The value whose bytes these begin with, which are taken off; `None` if they are not of a value.
    pub(crate) fn read(from: &mut &[u8]) -> Option<Self> {
        let (kind, rest) = from.split_first()?;
        *from = rest;
        match kind {
            0 => Some(Self::Null),
            1 => read_number(from).map(|number| Self::Integer(i64::from_be_bytes(number))),
            2 => String::from_utf8(read_bytes(from)?).ok().map(Self::Text),
            3 => read_bytes(from).map(Self::Bytes),
            _ => None,
        }
    }
}

fn write_bytes(kind: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(kind);
    to.extend((bytes.len() as u64).to_be_bytes());
    to.extend(bytes);
}

fn read_number(from: &mut &[u8]) -> Option<[u8; 8]> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*number)
}

fn read_bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_be_bytes(read_number(from)?)).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_values_read_back_and_what_was_cut_off_does_not() {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Text("Habari \0 å".into()),
            Value::Text(String::new()),
            Value::Bytes(vec![0xff; 300]),
        ];
        for value in values {
            let mut bytes = Vec::new();
            value.write(&mut bytes);
            assert!(Value::read(&mut bytes.as_slice()) == Some(value.clone()));
            assert!(Value::read(&mut &bytes[..bytes.len() - 1]).is_none());
        }
        assert!(Value::read(&mut [9].as_slice()).is_none());
    }

    #[test]
    fn text_and_bytes_alike_are_not_the_same() {
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        Value::Text("a".into()).write(&mut text);
        Value::Bytes(b"a".to_vec()).write(&mut bytes);
        assert!(text != bytes);
    }

    #[test]
    fn number_fits_where_postgresql_has_room_for_it() {
        let wide = Value::Integer(40_000);
        assert!(wide.fits(Kind::Int) && wide.fits(Kind::Big) && !wide.fits(Kind::Small));
        assert!(!Value::Integer(1 << 40).fits(Kind::Int));
        assert!(!Value::Bytes(vec![0; 15]).fits(Kind::Id) && Value::Bytes(vec![0; 16]).fits(Kind::Id));
        assert!(!Value::Text("1".into()).fits(Kind::Big));
    }
}
