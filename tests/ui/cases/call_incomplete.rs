#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn add(x: i64, y: i64) -> Result<i64, String> {
    Ok(x + y)
}

fn main() {
    let _ = add::s(1);
    let _ = add { x: 1, z: 2 };
    let _ = add::s(1, "two");
}
