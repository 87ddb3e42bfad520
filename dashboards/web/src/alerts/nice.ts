// nice rounds to what a person would have chosen on an axis of that length.
export function nice(value: number, length: number): number {
  const unit = 10 ** Math.floor(Math.log10(Math.max(length, 1e-9)) - 2)
  const rounded = Math.round(value / unit) * unit
  return Number(rounded.toPrecision(6))
}
