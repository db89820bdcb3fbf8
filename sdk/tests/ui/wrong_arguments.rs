use tollgate_sdk::prelude::*;

struct Mine;

#[policy]
impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings) -> Self {
        Self
    }

    fn on_request(request: &mut Request) -> Verdict {
        Verdict::next()
    }

    async fn on_finish(&mut self, _outcome: &Outcome) {}
}

fn main() {}
