#![allow(dead_code, unused_variables)]

struct Mailer;

impl Mailer {
    #[sedano::task]
    async fn send(&self, to: String) {}
}

fn main() {}
