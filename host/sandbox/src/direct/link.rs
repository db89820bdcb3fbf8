//! What the compiling child and the gateway agree on: the names and numbers by which an
//! adapted module and the host call each other.
//!
//! The module has a second memory, which its own code cannot name: slots for flat
//! arguments at its start and a few words that both sides read and write, then a map
//! with a byte for each block of the first memory.

/// Bytes of the first memory for each byte of the map.
pub(crate) const MAP_BLOCK: usize = 512;
/// Where the map begins; before it are the slots and the words.
pub(crate) const MAP_START: usize = 512;
/// A store marks the block that it begins in, and may write as far as this, less one,
/// beyond that block's end.
pub(crate) const STRADDLE: usize = 16;

/// Raise it when adapted modules change in any other way than the tables below: compiled
/// plugins in the cache are adapted anew then.
const REVISION: u32 = 4;

/// Words of four bytes in the second memory, by where they are: behind all slots.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(crate) enum Word {
    /// The handle that the guest has for the message it is shown; 0 once it let go of it.
    Lent = 256,
    /// What the last entry returned and is not freed yet: the entry's number and one.
    OwedBy = 260,
    /// Where that is.
    Owed = 264,
    /// Whether that is being freed.
    Frees = 268,
    /// Whether the entry that opens a session and asks it has opened it.
    Opened = 272,
    /// That session.
    Session = 276,
}

impl Word {
    pub(crate) fn read(self, map: &[u8]) -> u32 {
        let bytes = map.get(self as usize..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn write(self, map: &mut [u8], value: u32) {
        if let Some(word) = map.get_mut(self as usize..self as usize + 4) {
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// The bit of what is wanted that says: as many blocks in a row as the rest of the upper half
/// says, all together as long as the lower half says.
pub(crate) const MANY: u64 = 1 << 63;

/// A function that a plugin may export: `(count, bytes) -> pointer`, room for so many blocks in
/// a row, of which each is freed by itself; 0 where there is none.
pub(crate) const BLOCKS: &str = "tollgate_blocks";

/// A word in its memory that a plugin may export, as the address in a constant: what the open
/// session saw of the head that is another in nearly every exchange (1: the body's length, 2: the
/// time that is left, 4: whether there is a body), whether it wants no hook after the one about
/// the request (8), and whether the plugin keeps nothing from one session to the next (the highest
/// bit). Of a plugin without the word the first three are taken for granted.
pub(crate) const SEEN: &str = "tollgate_seen";

/// Tells what was adapted for this gateway from what was adapted for another.
pub(crate) fn revision() -> impl std::hash::Hash {
    let names: Vec<_> = Import::ALL.iter().map(|import| import.row()).collect();
    let entries: Vec<_> = Entry::ALL.iter().map(|entry| entry.name()).collect();
    (REVISION, MAP_BLOCK, MAP_START, names, entries)
}

/// Host functions of an adapted module, in the order in which it imports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// `(import) -> wanted`: an import that answers at once.
    Call,
    /// The same for one that may wait.
    CallWaiting,
    /// `(pointer) -> wanted`: where the wanted block is, or where the wanted blocks begin.
    Give,
}

impl Link {
    /// The module that the host functions are imported from; no plugin may import it.
    pub(crate) const MODULE: &str = "tollgate:host";
    pub(crate) const ALL: [Self; 3] = [Self::Call, Self::CallWaiting, Self::Give];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::CallWaiting => "call-waiting",
            Self::Give => "give",
        }
    }
}

/// What an adapted module exports.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Export {
    Memory,
    Map,
    Global(u32),
    /// `(wanted) -> result`: the contract's function, once the arguments are in place.
    Entry(Entry),
    /// The same for two in a row: a session opens and is asked about the request.
    OpenAndRequest,
    /// There if [`BLOCKS`] is.
    Blocks,
}

impl Export {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Memory => "memory".to_owned(),
            Self::Map => "map".to_owned(),
            Self::Global(nth) => format!("global-{nth}"),
            Self::Entry(entry) => format!("enter-{}", entry.name()),
            Self::OpenAndRequest => "enter-open-and-request".to_owned(),
            Self::Blocks => "blocks".to_owned(),
        }
    }
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident: $row:ty { $($case:ident = $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub(crate) enum $name { $($case),* }

        impl $name {
            pub(crate) const ALL: &[Self] = &[$(Self::$case),*];

            const fn row(self) -> $row {
                match self { $(Self::$case => $value),* }
            }
        }
    };
}

table!(
    /// A function of the contract that the host calls.
    Entry: EntryRow {
        Open = (true, "[constructor]session");
        Request = (true, "[method]session.on-request");
        Attempt = (true, "[method]session.on-attempt");
        Response = (true, "[method]session.on-response");
        Events = (true, "[method]session.on-events");
        Finish = (true, "[method]session.on-finish");
        Drop = (false, "[dtor]session");
        Tick = (false, "on-tick");
    }
);

/// Whether each plugin has it, and its name in the interface that plugins export.
type EntryRow = (bool, &'static str);

impl Entry {
    /// Its name in its interface.
    pub(crate) const fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether each plugin has it. A resource needs no destructor, and a plugin no timer.
    pub(crate) const fn is_required(self) -> bool {
        self.row().0
    }
}

/// Interface, function, and whether it may wait.
type ImportRow = (&'static str, &'static str, bool);

table!(
    /// A function of the contract that a plugin may import.
    Import: ImportRow {
        SessionNew = (Import::OWN, "[resource-new]session", false);
        SessionRep = (Import::OWN, "[resource-rep]session", false);
        SessionDrop = (Import::OWN, "[resource-drop]session", false);
        MessageDrop = ("exchange", "[resource-drop]message", false);
        Header = ("exchange", "[method]message.header", false);
        Headers = ("exchange", "[method]message.headers", false);
        Json = ("exchange", "[method]message.json", false);
        JsonMany = ("exchange", "[method]message.json-many", false);
        Body = ("exchange", "[method]message.body", false);
        Fact = ("exchange", "[method]message.fact", false);
        LogWrite = ("log", "write", false);
        MetricsCount = ("metrics", "count", false);
        MetricsGauge = ("metrics", "gauge", false);
        ClockNow = ("clock", "now-ms", false);
        ClockMonotonic = ("clock", "monotonic-us", false);
        RandomNext = ("random", "next-u64", false);
        RandomBytes = ("random", "bytes", false);
        SecretsGet = ("secrets", "get", false);
        GeoLookup = ("geo", "lookup", false);
        KvGet = ("kv", "get", true);
        KvPut = ("kv", "put", true);
        KvRemove = ("kv", "remove", true);
        KvCompareAndPut = ("kv", "compare-and-put", true);
        KvIncrement = ("kv", "increment", true);
        ReservationDrop = ("limits", "[resource-drop]reservation", false);
        ReservationSettle = ("limits", "[method]reservation.settle", true);
        LimitsTake = ("limits", "take", true);
        LimitsReserve = ("limits", "reserve", true);
        LimitsRemaining = ("limits", "remaining", true);
        LimitsHoldTokens = ("limits", "hold-tokens", true);
        HttpSend = ("http-call", "send", true);
        CachePlan = ("cache", "set-plan", false);
        ShadowSend = ("shadow", "send-to", false);
        EndpointsCandidates = ("endpoints", "candidates", false);
        EndpointsScore = ("endpoints", "set-scores", false);
    }
);

impl Import {
    /// Stands for the interface that plugins export, whose resource they make.
    pub(crate) const OWN: &str = "";

    /// Of the number by which an adapted module names it.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Of the interface that it is in, such as `kv`, and its name there.
    pub(crate) fn find(interface: &str, name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|import| {
            let (its_interface, its_name, _) = import.row();
            its_interface == interface && its_name == name
        })
    }

    /// Interface and function, such as `kv.get`, for a person.
    pub(crate) fn words(self) -> String {
        let (interface, name, _) = self.row();
        match interface {
            Self::OWN => name.to_owned(),
            interface => format!("{interface}.{name}"),
        }
    }

    /// Whether the host may have to wait for the answer.
    pub(crate) const fn waits(self) -> bool {
        self.row().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every function of the contract's imports has a row, and every row is one of them.
    #[test]
    fn the_table_of_imports_is_the_contracts() {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve
            .push_str("policy.wit", include_str!("../../../../sdk/wit/policy.wit"))
            .unwrap();
        let world = resolve.select_world(&[package], Some("plugin")).unwrap();
        let mut of_contract = Vec::new();
        for (_, item) in &resolve.worlds[world].imports {
            let wit_parser::WorldItem::Interface { id, .. } = item else {
                continue;
            };
            let interface = &resolve.interfaces[*id];
            let name = interface.name.clone().unwrap();
            of_contract.extend(
                interface
                    .functions
                    .keys()
                    .map(|f| (name.clone(), f.clone())),
            );
        }
        for (interface, name) in &of_contract {
            assert!(
                Import::find(interface, name).is_some(),
                "{interface}.{name}"
            );
        }
        let own = Import::ALL
            .iter()
            .filter(|import| import.row().1.contains("[resource-"))
            .count();
        assert_eq!(Import::ALL.len() - own, of_contract.len());
    }
}
