use tollgate_sdk::prelude::*;

#[policy]
struct Mine;

fn main() {}
