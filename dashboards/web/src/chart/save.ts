import type { Look } from './options'

// download offers a file to the user.
export function download(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => { URL.revokeObjectURL(link.href) }, 60_000)
}

export interface Caption {
  title: string
  // lines are what the chart is of: the machine, the time, the resolution.
  lines: string[]
  items: { color: string; name: string; value: string }[]
}

// picture is a chart as an image: its canvas below its title and its legend.
export function picture(plot: HTMLCanvasElement, caption: Caption, look: Look): HTMLCanvasElement {
  const ratio = devicePixelRatio || 1
  const px = (n: number) => Math.round(n * ratio)
  const font = (size: number, weight = 400) => `${weight} ${size * ratio}px ${look.font.replace(/^\S+\s/, '')}`
  const side = px(14)
  const width = plot.width + 2 * side
  const canvas = document.createElement('canvas')
  const ctx = canvas.getContext('2d')!
  // The legend wraps.
  ctx.font = font(12)
  const placed: { x: number; row: number; item: Caption['items'][number] }[] = []
  let x = side
  let row = 0
  for (const item of caption.items) {
    const size = px(20) + ctx.measureText(`${item.name} ${item.value}`).width
    if (x > side && x + size > width - side) {
      x = side
      row++
    }
    placed.push({ x, row, item })
    x += size + px(14)
  }
  const top = px(48)
  const legend = placed.length > 0 ? (row + 1) * px(18) + px(8) : 0
  canvas.width = width
  canvas.height = top + legend + plot.height + px(10)
  ctx.fillStyle = look.card
  ctx.fillRect(0, 0, canvas.width, canvas.height)
  ctx.textBaseline = 'alphabetic'
  ctx.fillStyle = look.ink
  ctx.font = font(15, 600)
  ctx.fillText(caption.title, side, px(24))
  ctx.fillStyle = look.soft
  ctx.font = font(12)
  ctx.fillText(caption.lines.join('  ·  '), side, px(42))
  for (const { x, row, item } of placed) {
    const y = top + px(13) + row * px(18)
    ctx.fillStyle = item.color
    ctx.fillRect(x, y - px(9), px(10), px(10))
    ctx.fillStyle = look.soft
    ctx.fillText(item.name, x + px(15), y)
    ctx.fillStyle = look.ink
    ctx.fillText(item.value, x + px(15) + ctx.measureText(`${item.name} `).width, y)
  }
  ctx.drawImage(plot, side, top + legend)
  return canvas
}
