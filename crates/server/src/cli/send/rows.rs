//! The rows of a file.
//!
//! What is wrong with the file as a whole stops the command before anything is sent: a header that can be read in two ways, and
//! a cell that goes on in the next line, because behind a quote that nobody closed all other rows are one cell.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use csv::{ByteRecord, ReaderBuilder};
use domain::template::is_name;
use serde_json::{Map, Value};

/// A row that can be asked for.
pub(super) struct Member {
    /// Where it stands in the file, counted from 1.
    pub(super) line: u64,
    /// The receiver with its variables, as the API takes it.
    pub(super) body: Map<String, Value>,
}

/// A row that is not sent, and why.
pub(super) struct Bad {
    pub(super) line: u64,
    pub(super) why: String,
}

/// The rows, and those that can't be read.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<(Vec<Member>, Vec<Bad>)> {
    // Spreadsheets write a mark of the encoding in front.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut records = Records::new(bytes);
    let (_, first) = records.next()?.context("there is no column receiver")?;
    let header = cells(&first).context("the first line is not UTF-8")?;
    check_header(&header)?;
    let (mut members, mut bad, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    while let Some((line, record)) = records.next()? {
        match member(line, &header, &record) {
            Err(why) => bad.push(Bad { line, why }),
            Ok((number, body)) => match seen.insert(number, line) {
                Some(earlier) => bad.push(Bad { line, why: format!("has the number of line {earlier}") }),
                None => members.push(Member { line, body }),
            },
        }
    }
    Ok((members, bad))
}

/// Records with their lines. The reader's own count is that of the place where it went on, which is the end of the line before
/// where that ends in two characters, or is empty.
struct Records<'a> {
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    /// Up to where lines are counted, and in which one that is.
    counted: usize,
    line: u64,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        Self { bytes, reader, counted: 0, line: 1 }
    }

    fn next(&mut self) -> anyhow::Result<Option<(u64, ByteRecord)>> {
        let mut record = ByteRecord::new();
        let went_on = self.place();
        if !self.reader.read_byte_record(&mut record).context("the file can't be read")? {
            return Ok(None);
        }
        let read = self.bytes.get(went_on..self.place()).unwrap_or_default();
        let blank = read.iter().take_while(|byte| is_end(**byte)).count();
        self.count_to(went_on + blank);
        let own = read.get(blank..).unwrap_or_default().trim_ascii_end();
        anyhow::ensure!(
            !own.iter().any(|byte| is_end(*byte)),
            "line {}: a cell goes on in the next line. Is a quote not closed? Nothing is sent",
            self.line
        );
        Ok(Some((self.line, record)))
    }

    /// How far it has read.
    fn place(&self) -> usize {
        usize::try_from(self.reader.position().byte()).unwrap_or(usize::MAX)
    }

    fn count_to(&mut self, end: usize) {
        let passed = self.bytes.get(self.counted..end).unwrap_or_default();
        let ends_line = |(index, byte): (usize, &u8)| {
            *byte == b'\n' || *byte == b'\r' && passed.get(index + 1) != Some(&b'\n')
        };
        self.line += passed.iter().enumerate().filter(|it| ends_line(*it)).count() as u64;
        self.counted = end;
    }
}

const fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// `None` if it is not UTF-8.
fn cells(record: &ByteRecord) -> Option<Vec<&str>> {
    record.iter().map(|cell| std::str::from_utf8(cell).ok().map(str::trim)).collect()
}

/// Names that are none are not repeated: the first line of a file without a header may be somebody's number.
fn check_header(header: &[&str]) -> anyhow::Result<()> {
    anyhow::ensure!(header.contains(&"receiver"), "there is no column receiver");
    let mut seen = BTreeSet::new();
    for (index, name) in header.iter().enumerate() {
        let column = index + 1;
        anyhow::ensure!(!name.is_empty(), "column {column} has no name");
        anyhow::ensure!(
            is_name(name),
            "column {column} is named as no variable is: a name has small letters, digits and underscores, a letter first"
        );
        anyhow::ensure!(seen.insert(name), "there are two columns {name}");
    }
    Ok(())
}

/// The digits of the receiver, and the body. A cell that is empty has no value: the variable's default stands.
fn member(line: u64, header: &[&str], record: &ByteRecord) -> Result<(String, Map<String, Value>), String> {
    if record.len() != header.len() {
        return Err(format!("has {} columns, and the first line {}", record.len(), header.len()));
    }
    let cells = cells(record).ok_or("is not UTF-8")?;
    let (mut body, mut variables) = (Map::new(), Map::new());
    for (name, cell) in header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        match *name {
            "receiver" | "locale" => body.insert((*name).into(), cell.into()),
            _ => variables.insert((*name).into(), cell.into()),
        };
    }
    let receiver = body.get("receiver").and_then(Value::as_str).ok_or("has no receiver")?;
    let mut digits: String = receiver.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        // Not a number: the gateway says so, for this row alone.
        digits = format!("line {line}");
    }
    body.insert("variables".into(), Value::Object(variables));
    Ok((digits, body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(file: &str) -> String {
        read(file.as_bytes()).err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn columns_become_variables_and_bad_rows_have_their_lines() {
        let lines = [
            "\u{FEFF}receiver,name,locale,amount",
            "0712345678, Wanjiku ,sw,",
            "0712 345 678,Otieno,,5",
            "x,\"a, \"\"b\"\"\",,",
            "",
            "",
            ",No,,",
            "+1415,y",
            "",
        ];
        // As spreadsheets write it, as most else does, and as it once was done.
        for end in ["\r\n", "\n", "\r"] {
            let (members, bad) = read(lines.join(end).as_bytes()).unwrap();
            let shown: Vec<_> =
                members.into_iter().map(|member| (member.line, Value::Object(member.body))).collect();
            let wanjiku = json!({"receiver": "0712345678", "locale": "sw", "variables": {"name": "Wanjiku"}});
            let quoted = json!({"receiver": "x", "variables": {"name": "a, \"b\""}});
            assert_eq!(shown, [(2, wanjiku), (4, quoted)], "{end:?}");
            let bad: Vec<_> = bad.into_iter().map(|bad| (bad.line, bad.why)).collect();
            assert_eq!(
                bad,
                [
                    (3, "has the number of line 2".to_owned()),
                    (7, "has no receiver".to_owned()),
                    (8, "has 2 columns, and the first line 4".to_owned()),
                ],
                "{end:?}"
            );
        }
        let (members, bad) = read(b"receiver,name\n1,\xFF\n2,b").unwrap();
        assert_eq!((members[0].line, bad[0].line, bad[0].why.as_str()), (3, 2, "is not UTF-8"));
    }

    #[test]
    fn header_that_can_be_read_in_two_ways_stops_it_all() {
        for (file, what) in [
            ("", "there is no column receiver"),
            ("number,name\n1,2\n", "there is no column receiver"),
            ("receiver,name,receiver\n1,a,2\n", "there are two columns receiver"),
            ("receiver,amount,amount\n1,5,50\n", "there are two columns amount"),
            ("receiver,name,\n1,a,\n", "column 3 has no name"),
            ("receiver,0712345678\n1,a\n", "column 2 is named as no variable is"),
            ("receiver,Name\n1,a\n", "column 2 is named as no variable is"),
        ] {
            assert!(why(file).starts_with(what), "{file:?}: {}", why(file));
            assert!(!why(file).contains("0712"), "{}", why(file));
        }
    }

    #[test]
    fn quote_that_is_not_closed_stops_it_all() {
        let swallows = "receiver,name\r\n1,a\r\n2,\"b\r\n3,c\r\n4,d\r\n";
        assert!(why(swallows).starts_with("line 3: a cell goes on in the next line"), "{}", why(swallows));
        assert!(why("receiver,\"name\n1,a\n").starts_with("line 1: "));
        // Behind the last row there is nothing to swallow.
        assert_eq!(read(b"receiver,name\n1,\"a\n").unwrap().0.len(), 1);
    }
}
