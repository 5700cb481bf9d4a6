#![allow(dead_code, unused_variables)]

async fn add(x: i64, y: i64) -> Result<i64, String> {
    Ok(x + y)
}

struct Mul {
    x: i64,
    y: i64,
}

fn main() {
    let _ = sedano::tasks![Mul];
    let _ = sedano::tasks![add];
}
