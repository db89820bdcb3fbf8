use tollgate_sdk::prelude::*;

struct Mine;

#[policy]
impl Policy for Mine {
    fn on_request(&mut self, _request: &mut Request) -> Verdict {
        Verdict::next()
    }
}

fn main() {}
