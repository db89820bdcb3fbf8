//! Writes files of MaxMind's format, for tests: a tree of addresses with records of 24
//! bits, and what is known of each network. Source: MaxMind's `MaxMind-DB-spec.md`, 2.0.

use std::net::IpAddr;

/// A network, and the country, region, continent and city there; an empty one is left out.
pub(crate) type Entry<'a> = (&'a str, [&'a str; 4]);

/// A whole file. A network within another has to come after it.
pub(crate) fn database(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut tree, mut data) = (Tree::default(), Vec::new());
    for (network, names) in entries {
        let (address, length) = network.split_once('/').unwrap();
        let length: u8 = length.parse().unwrap();
        let (bits, length) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(u32::from(address)), length + 96),
            IpAddr::V6(address) => (u128::from(address), length),
        };
        tree.insert(bits, length, data.len());
        place(names).write(&mut data);
    }
    let count = tree.0.len();
    let mut file = tree.bytes();
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(count as u64).write(&mut file);
    file
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The nodes, each with what follows a 0 and a 1.
struct Tree(Vec<[Record; 2]>);

impl Default for Tree {
    fn default() -> Self {
        Self(vec![[Record::Nothing; 2]])
    }
}

impl Tree {
    fn insert(&mut self, bits: u128, length: u8, data: usize) {
        let mut node = 0;
        for nth in 0..length {
            let side = usize::from(bits >> (127 - nth) & 1 == 1);
            if nth + 1 == length {
                self.0[node][side] = Record::Data(data);
                return;
            }
            node = match self.0[node][side] {
                Record::Node(next) => next,
                // What holds for the larger network holds on both sides of it.
                larger => {
                    self.0.push([larger; 2]);
                    self.0[node][side] = Record::Node(self.0.len() - 1);
                    self.0.len() - 1
                }
            };
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let count = self.0.len();
        let number = |record: &Record| match record {
            Record::Nothing => count,
            Record::Node(node) => *node,
            Record::Data(at) => count + 16 + at,
        };
        let records = self.0.iter().flatten().map(number);
        records
            .flat_map(|number| (number as u32).to_be_bytes().into_iter().skip(1))
            .collect()
    }
}

enum Value<'a> {
    Text(&'a str),
    /// With the number of its type: 5, 6 or 9 for 16, 32 or 64 bits.
    Number(u8, u64),
    List(Vec<Value<'a>>),
    Map(Vec<(&'a str, Value<'a>)>),
}

impl Value<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(out, 2, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Number(kind, number) => {
                let bytes = number.to_be_bytes();
                let zeros = number.leading_zeros() as usize / 8;
                control(out, *kind, 8 - zeros);
                out.extend_from_slice(&bytes[zeros..]);
            }
            Self::List(items) => {
                control(out, 11, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                control(out, 7, entries.len());
                for (key, value) in entries {
                    Value::Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// Type and size; types beyond 7 stand in a byte of their own.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (code, more) = match size {
        0..29 => (size as u8, Vec::new()),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
    };
    match kind {
        1..=7 => out.push(kind << 5 | code),
        _ => out.extend_from_slice(&[code, kind - 7]),
    }
    out.extend(more);
}

fn place<'a>([country, region, continent, city]: &[&'a str; 4]) -> Value<'a> {
    let code = |name, code: &'a str| Value::Map(vec![(name, Value::Text(code))]);
    let mut known = Vec::new();
    if !country.is_empty() {
        known.push(("country", code("iso_code", country)));
    }
    if !region.is_empty() {
        let smaller = code("iso_code", "within it");
        known.push((
            "subdivisions",
            Value::List(vec![code("iso_code", region), smaller]),
        ));
    }
    if !continent.is_empty() {
        known.push(("continent", code("code", continent)));
    }
    if !city.is_empty() {
        let names = vec![("de", Value::Text("Ort")), ("en", Value::Text(city))];
        known.push(("city", Value::Map(vec![("names", Value::Map(names))])));
    }
    Value::Map(known)
}

fn metadata<'a>(nodes: u64) -> Value<'a> {
    Value::Map(vec![
        ("binary_format_major_version", Value::Number(5, 2)),
        ("binary_format_minor_version", Value::Number(5, 0)),
        ("build_epoch", Value::Number(9, 1_767_225_600)),
        ("database_type", Value::Text("Test-City")),
        (
            "description",
            Value::Map(vec![("en", Value::Text("places for tests"))]),
        ),
        ("ip_version", Value::Number(5, 6)),
        ("languages", Value::List(vec![Value::Text("en")])),
        ("node_count", Value::Number(6, nodes)),
        ("record_size", Value::Number(5, 24)),
    ])
}
