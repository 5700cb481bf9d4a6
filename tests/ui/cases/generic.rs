#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn show<T: ToString>(value: T) {}

#[sedano::task]
async fn lend<'a>(text: String) {}

#[sedano::task]
async fn filter(text: String)
where
    String: Clone,
{
}

#[sedano::task]
async fn print(value: impl ToString) {}

fn main() {}
