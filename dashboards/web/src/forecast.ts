// Forecasts when a file system is full, from the trend of its history.

export type Point = [at: number, value: number]

// A trend needs this many points and this much time.
const fewest = 8

// trend is the median of the slopes between points (Theil-Sen): unlike a mean, it
// ignores a file that was written and deleted again.
export function trend(points: Point[]): number | null {
  if (points.length < fewest) return null
  const slopes: number[] = []
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) {
      const [a, b] = [points[i]!, points[j]!]
      if (b[0] > a[0]) slopes.push((b[1] - a[1]) / (b[0] - a[0]))
    }
  }
  if (slopes.length === 0) return null
  slopes.sort((a, b) => a - b)
  const middle = slopes.length >> 1
  return slopes.length % 2 ? slopes[middle]! : (slopes[middle - 1]! + slopes[middle]!) / 2
}

// untilEmpty returns the seconds until a shrinking value reaches zero, or null if it
// does not shrink or there is too little data. It forecasts at most ten times the
// length of the history.
export function untilEmpty(points: Point[]): number | null {
  const slope = trend(points)
  const last = points.at(-1)
  const first = points[0]
  if (slope === null || slope >= 0 || !last || !first) return null
  const left = last[1] / -slope
  return left <= 10 * (last[0] - first[0]) ? left : null
}
