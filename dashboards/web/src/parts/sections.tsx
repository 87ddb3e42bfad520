import { titleOf } from '../i18n'
import { boards, isInstant, panels } from '../panels'
import { go, view } from '../state'
import { PanelById } from './panel'

// Sections are the boards besides the overview, collapsed by default. The address says
// which are open.
export function Sections() {
  const open = new Set((view.value.own.open ?? '').split(',').filter(Boolean))
  const toggle = (id: string) => {
    if (!open.delete(id)) open.add(id)
    go({ own: { ...view.value.own, open: [...open].join(',') } }, 'replace')
  }
  return (
    <>
      {boards.filter((b) => b.id !== 'overview').map((board) => (
        <section class="board" key={board.id} id={`board-${board.id}`}>
          <h2>
            <button aria-expanded={open.has(board.id)} aria-controls={`charts-${board.id}`} onClick={() => { toggle(board.id) }}>
              <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d="M6 3.5L10.5 8 6 12.5" fill="none" stroke="currentColor" stroke-width="1.6" /></svg>
              {titleOf('board', board.id, board.title)} <small>{board.panels.length}</small>
            </button>
          </h2>
          {open.has(board.id) && <div class="grid" id={`charts-${board.id}`}>{board.panels.filter((id) => !isInstant(panels.get(id)!) || panels.get(id)!.draw === 'bars').map((id) => <PanelById key={id} id={id} />)}</div>}
        </section>
      ))}
    </>
  )
}
